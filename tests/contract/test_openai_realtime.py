"""openai (Python): client.realtime.translations."""

import base64
import time
import unittest

from openai.types.realtime import RealtimeErrorEvent
from websockets.exceptions import InvalidStatus

from support import chunks, client, model, output_text, speech, stream_speech, streamed_text

SILENCE = base64.b64encode(bytes(9600)).decode()


class Realtime(unittest.TestCase):
    def connect(self, **query):
        return client().realtime.translations.connect(model=model(), extra_query=query)

    def test_a_recording_is_translated(self):
        with self.connect() as connection:
            events = stream_speech(connection)
        self.assertEqual(events[0].type, "session.created")
        self.assertEqual(events[-1].type, "session.closed", "before the close frame")
        kinds = {event.type for event in events}
        self.assertEqual(kinds, {"session.created", "session.output_transcript.delta", "session.closed"})
        # The client makes an error of every event it does not know.
        self.assertFalse([event for event in events if isinstance(event, RealtimeErrorEvent)])
        self.assertEqual(len({event.event_id for event in events}), len(events), "event ids are unique")
        text = output_text(events)
        self.assertGreaterEqual(len(text.split()), 10, text)
        self.assertEqual(text, streamed_text(), "the same audio has the same translation")
        session = events[0].session
        self.assertEqual((session.type, session.model), ("translation", model()))
        self.assertGreater(session.expires_at, time.time())

    def test_text_comes_before_the_audio_ends(self):
        with self.connect() as connection:
            for chunk in chunks(speech()[: len(speech()) // 2]):
                connection.session.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
            # Not ended: what comes now is live.
            events = [connection.recv(), connection.recv()]
            self.assertEqual(events[1].type, "session.output_transcript.delta")
            self.assertTrue(streamed_text().startswith(events[1].delta))

    def test_the_transcript_comes_if_configured(self):
        transcription = {"model": model()}
        with self.connect() as connection:
            self.assertEqual(connection.recv().type, "session.created")
            audio = {"input": {"transcription": transcription}, "output": {"language": "de"}}
            connection.session.update(session={"audio": audio})
            updated = connection.recv()
            self.assertEqual(updated.type, "session.updated")
            self.assertEqual(updated.session.audio.input.transcription.model, model())
            self.assertEqual(updated.session.audio.output.language, "de")
            events = stream_speech(connection)
        heard = "".join(event.delta for event in events if event.type == "session.input_transcript.delta")
        self.assertGreaterEqual(len(heard.split()), 10, heard)
        self.assertEqual(output_text(events), streamed_text(), "the transcript does not change the translation")

    def test_a_bad_event_is_answered_and_the_session_goes_on(self):
        with self.connect() as connection:
            self.assertEqual(connection.recv().type, "session.created")
            connection.send({"type": "response.create", "event_id": "mine"})
            event = connection.recv()
            self.assertIsInstance(event, RealtimeErrorEvent)
            self.assertEqual((event.error.type, event.error.event_id), ("invalid_request_error", "mine"))
            connection.session.input_audio_buffer.append(audio=SILENCE)
            connection.session.close()
            self.assertEqual([event.type for event in connection], ["session.closed"])

    def refused(self, connect):
        with self.assertRaises(InvalidStatus) as raised, connect as connection:
            connection.recv()
        return raised.exception.response.status_code

    def test_a_wrong_key_is_refused_before_the_upgrade(self):
        connect = client("sk-wrong").realtime.translations.connect(model=model())
        self.assertEqual(self.refused(connect), 401)

    def test_an_unknown_model_is_refused_before_the_upgrade(self):
        self.assertEqual(self.refused(client().realtime.translations.connect(model="tower-of-babel")), 404)

    def test_an_ephemeral_key_opens_a_session(self):
        begin = time.time()
        secret = client().realtime.translations.client_secrets.create(
            session={
                "model": model(),
                "audio": {"input": {"transcription": {"model": model()}}, "output": {"language": "de"}},
            },
            expires_after={"anchor": "created_at", "seconds": 60},
        )
        self.assertTrue(secret.value.startswith("ek_"))
        self.assertEqual((secret.session.type, secret.session.model), ("translation", model()))
        self.assertTrue(begin + 59 <= secret.expires_at <= time.time() + 60, secret.expires_at)
        with client(secret.value).realtime.translations.connect(model=model()) as connection:
            created = connection.recv()
            self.assertEqual(created.type, "session.created")
            self.assertEqual(created.session.audio.input.transcription.model, model(), "the key's settings hold")
