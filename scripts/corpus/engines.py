"""English text -> waveform, one class per synthesiser, each with a voice drawn for the passage.

Invariant: none of the evaluation's unseen voices is ever loaded or mixed (`allowed`).
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import audio
import vocoder

HELD_OUT = frozenset({"af_kore", "am_fenrir", "bf_emma", "bm_fable"})


def allowed(voice: str) -> str:
    """The voice itself; raises if it is (or mixes) a voice that the evaluation keeps unseen."""
    if any(held_out in voice for held_out in HELD_OUT):
        raise ValueError(f"voice {voice!r} is one of the unseen voices of the evaluation {sorted(HELD_OUT)}")
    return voice


class Hibari:
    """Distilled from Kokoro's af_heart. Pitch is set in its source-filter synthesis, formants by the output rate."""

    def __init__(self, _folder=None):
        import hibari

        self.tts = hibari.Hibari()
        allowed(hibari.voices.VOICES[self.tts.voice]["kokoro"])

    def speaker(self, draw):
        return {"pitch": draw.uniform(-5, 5), "formant": draw.uniform(0.79, 1.19), "tempo": draw.uniform(0.9, 1.2)}

    def label(self, voice):
        return f"hibari_p{voice['pitch']:+.1f}_f{voice['formant']:.2f}"

    def speak(self, english, voice, draw):
        return self.say(self.tts.phonemize(english), voice, draw)

    def say(self, phrases, voice, draw):
        """Speaks phrases given as phonemes; those that it does not know are left out."""
        from hibari import dsp

        formant, tts = voice["formant"], self.tts
        speed = np.asarray([voice["tempo"] / formant], np.float32)
        waves = []
        for phonemes in phrases:
            ids = np.asarray([tts.ids(phonemes)], np.int64)
            *spectra, f0 = (output[0] for output in tts.sess.run(None, {"ids": ids, "speed": speed}))
            waves.append(dsp.synth(*spectra, f0 * np.float32(2 ** (voice["pitch"] / 12) / formant), draw))
        return audio.to_rate(np.concatenate(waves), tts.sample_rate * formant) if waves else np.zeros(0, np.float32)


class Kokoro:
    """Kokoro-82M: half of the speakers are one voice, half a mix of two, which is a new speaker."""

    def __init__(self, folder: Path):
        import hibari
        import onnxruntime
        from hibari.g2p import G2P

        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3
        self.session = self.load(folder)
        self.readers = {british: hibari.Hibari(g2p=G2P(british=british)) for british in (False, True)}
        files = {allowed(path.stem): path for path in folder.glob("*.bin")}
        self.rows = {name: np.fromfile(path, np.float32).reshape(-1, 1, 256) for name, path in files.items()}
        names = sorted(self.rows)
        american, british = ([name for name in names if name[0] == accent] for accent in "ab")
        # Kokoro has three American voices for each British one: drawn evenly, British English would stay rare.
        self.kinds = [american, british, [name for name in names if name[0] not in "ab"]]

    def load(self, folder: Path):
        import onnxruntime

        return onnxruntime.InferenceSession(str(folder / "kokoro.onnx"), self.options)

    def speaker(self, draw):
        names = [str(draw.choice(self.kinds[draw.integers(len(self.kinds))])) for _ in range(2)]
        share = 1.0 if draw.random() < 0.5 else draw.uniform(0.3, 0.7)
        return {"names": [allowed(name) for name in names], "share": share, "tempo": draw.uniform(0.85, 1.2)}

    def label(self, voice):
        first, second = voice["names"]
        return first if voice["share"] == 1.0 else f"{first}+{second}_{voice['share']:.2f}"

    def speak(self, english, voice, draw):
        first, second = (self.rows[name] for name in voice["names"])
        rows = voice["share"] * first + (1 - voice["share"]) * second
        reader = self.readers[voice["names"][0].startswith("b")]
        speed = np.asarray([voice["tempo"]], np.float32)
        waves = []
        for phonemes in reader.phonemize(english):
            ids = reader.ids(phonemes)
            style = rows[min(len(ids) - 2, len(rows) - 1)].astype(np.float32)
            feed = {"tokens": np.asarray([ids], np.int64), "style": style, "speed": speed}
            waves.append(self.session.run(None, feed)[0])
        rate_hz = reader.sample_rate * voice.get("formant", 1.0)
        return audio.to_rate(np.concatenate(waves), rate_hz) if waves else np.zeros(0, np.float32)


class KokoroLight(Kokoro):
    """Kokoro with a small vocoder, ten times as fast; with it pitch and formants of a voice are drawn as well."""

    def load(self, folder: Path):
        return vocoder.SmallVocoder(folder, self.options)

    def speaker(self, draw):
        voice = super().speaker(draw)
        return voice | {"pitch": draw.uniform(-2, 2), "formant": draw.uniform(0.9, 1.12)}

    def label(self, voice):
        return f"{super().label(voice)}_p{voice['pitch']:+.1f}_f{voice['formant']:.2f}"

    def speak(self, english, voice, draw):
        formant = voice["formant"]
        self.session.draw, self.session.pitch = draw, 2 ** (voice["pitch"] / 12) / formant
        return super().speak(english, voice | {"tempo": voice["tempo"] / formant}, draw)


class Pico:
    """SVOX Pico, one American and one British voice, with its own pitch and speed settings."""

    def __init__(self, _folder=None):
        pass

    def speaker(self, draw):
        return {
            "name": allowed(str(draw.choice(["en-US", "en-GB"]))),
            "pitch": draw.uniform(0.8, 1.25),
            "tempo": draw.uniform(0.85, 1.15),
        }

    def label(self, voice):
        return f"pico_{voice['name']}_p{voice['pitch']:.2f}"

    def speak(self, english, voice, draw):
        from py_nanotts import NanoTTS

        pcm = NanoTTS().speak(english, voice=voice["name"], pitch=voice["pitch"], speed=voice["tempo"])
        return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


class Flite:
    """The Debian program `flite`; its four voices, shifted as a whole by the output rate, at their own tempo."""

    def __init__(self, _folder=None):
        pass

    def speaker(self, draw):
        return {
            "name": allowed(str(draw.choice(["kal16", "awb", "rms", "slt"]))),
            "shift": draw.uniform(0.88, 1.14),
            "tempo": draw.uniform(0.85, 1.15),
        }

    def label(self, voice):
        return f"flite_{voice['name']}_s{voice['shift']:.2f}"

    def speak(self, english, voice, draw):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "speech.wav"
            stretch = f"duration_stretch={voice['shift'] / voice['tempo']:.3f}"
            command = ["flite", "-voice", voice["name"], "--setf", stretch, "-t", english, "-o", str(target)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
            wave, rate_hz = soundfile.read(target, dtype="float32")
        return audio.to_rate(wave, rate_hz * voice["shift"])


ENGINES = {"hibari": Hibari, "kokoro": Kokoro, "kokoro-light": KokoroLight, "pico": Pico, "flite": Flite}
