"""deepgram-sdk: client.listen.v1, live."""

import unittest

from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import ListenV1Metadata, ListenV1Results
from websockets.exceptions import InvalidStatus

from support import KEY, RATE_HZ, URL, chunks, model, speech, streamed_text


class Live(unittest.TestCase):
    def connect(self, key=KEY):
        socket = URL.replace("http", "ws", 1)
        environment = DeepgramClientEnvironment(base=URL, production=socket, agent=socket, agent_rest=URL)
        client = DeepgramClient(api_key=key, environment=environment)
        return client.listen.v1.connect(model=model(), encoding="linear16", sample_rate=RATE_HZ, channels=1)

    def transcript(self, messages):
        results = [message for message in messages if isinstance(message, ListenV1Results)]
        self.assertTrue(all(result.is_final for result in results), "what is committed is final")
        alternatives = [result.channel.alternatives[0] for result in results]
        for alternative in alternatives:
            words = " ".join(word.punctuated_word or word.word for word in alternative.words)
            self.assertEqual(words.split(), alternative.transcript.split())
        return " ".join(alternative.transcript for alternative in alternatives).split()

    def test_a_recording_is_translated(self):
        with self.connect() as connection:
            for chunk in chunks():
                connection.send_media(chunk)
            connection.send_close_stream()
            messages = list(connection)
        self.assertEqual(self.transcript(messages), streamed_text().split())
        ends = [word.end for m in messages[:-1] for word in m.channel.alternatives[0].words]
        self.assertEqual(ends, sorted(ends))
        summary = messages[-1]
        self.assertIsInstance(summary, ListenV1Metadata, "the summary comes last")
        self.assertAlmostEqual(summary.duration, len(speech()) / 2 / RATE_HZ, delta=0.1)
        self.assertEqual(summary.channels, 1)

    def test_finalize_brings_out_what_was_heard(self):
        with self.connect() as connection:
            connection.send_keep_alive()
            for chunk in chunks(speech()[: len(speech()) // 2]):
                connection.send_media(chunk)
            connection.send_finalize()
            messages = []
            while not messages or not getattr(messages[-1], "from_finalize", False):
                messages.append(connection.recv())
            self.assertGreater(len(self.transcript(messages)), 0)
            # The connection goes on.
            connection.send_keep_alive()
            connection.send_media(bytes(9600))
            connection.send_close_stream()
            self.assertIsInstance(list(connection)[-1], ListenV1Metadata)

    def test_a_wrong_key_is_refused_before_the_upgrade(self):
        # The client means to make an ApiError of it, but looks for the exception of an older websockets.
        with self.assertRaises(InvalidStatus) as raised, self.connect("wrong"):
            pass
        self.assertEqual(raised.exception.response.status_code, 401)
