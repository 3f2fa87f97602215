"""What the contract tests share: where the server is, and five spoken sentences as 24 kHz samples.

All clients send the same samples, so that all of them must get the same text.
"""

import atexit
import base64
import functools
import os
import shutil
import tempfile
from pathlib import Path

import numpy
import openai
import soundfile
import soxr

URL = os.environ["DECALAGE_URL"]
TLS_URL = os.environ["DECALAGE_TLS_URL"]
TLS_CA = os.environ["DECALAGE_TLS_CA"]
EVAL_URL = os.environ["DECALAGE_EVAL_URL"]
EVAL_LOG = os.environ["DECALAGE_EVAL_LOG"]
KEY = os.environ["DECALAGE_KEY"]

SAMPLE = Path(__file__).parents[2] / "models" / "en-de-small" / "sample.opus"
RATE_HZ = 24_000
CHUNK_BYTES = RATE_HZ // 5 * 2  # 200 ms, what openai's documentation advises


def client(api_key=KEY):
    # No retries: the first answer has to be right.
    return openai.OpenAI(api_key=api_key, base_url=f"{URL}/v1", max_retries=0)


@functools.cache
def model():
    """The name of the server's only model."""
    (only,) = client().models.list().data
    return only.id


@functools.cache
def speech():
    """The sentences as PCM16, with a second of silence behind them: simulstream's client sends the end twice."""
    samples, rate_hz = soundfile.read(SAMPLE, dtype="float32")
    samples = soxr.resample(samples, rate_hz, RATE_HZ)
    samples = numpy.concatenate([samples, numpy.zeros(RATE_HZ, dtype="float32")])
    return (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()


@functools.cache
def folder():
    """A folder for this run's files."""
    path = Path(tempfile.mkdtemp(prefix="decalage-contract-"))
    atexit.register(shutil.rmtree, path)
    return path


@functools.cache
def wav():
    path = folder() / "speech.wav"
    soundfile.write(path, numpy.frombuffer(speech(), dtype="<i2"), RATE_HZ)
    return path


def chunks(pcm=None):
    pcm = speech() if pcm is None else pcm
    return (pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm), CHUNK_BYTES))


def stream_speech(connection):
    """Sends the sentences over openai's connection, ends the session, and returns all events until the close."""
    for chunk in chunks():
        connection.session.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
    connection.session.close()
    # Ends with a proper close only: openai raises for any code but 1000 and 1001.
    return list(connection)


def output_text(events):
    return "".join(event.delta for event in events if event.type == "session.output_transcript.delta")


@functools.cache
def streamed_text():
    """What openai's client gets for the sentences: the text that every other client is compared with."""
    with client().realtime.translations.connect(model=model()) as connection:
        return output_text(stream_speech(connection))
