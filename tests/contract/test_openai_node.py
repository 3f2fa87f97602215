"""openai (npm): OpenAIRealtimeTranslationWS, over TLS."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from support import KEY, RATE_HZ, TLS_CA, TLS_URL, folder, model, speech, streamed_text


class Node(unittest.TestCase):
    def test_a_recording_is_translated(self):
        pcm = folder() / "speech.pcm"
        pcm.write_bytes(speech())
        script = Path(os.environ["DECALAGE_NODE_SCRIPT"])
        run = subprocess.run(
            [os.environ["DECALAGE_NODE"], script, f"{TLS_URL}/v1", KEY, model(), pcm, str(RATE_HZ)],
            env={**os.environ, "NODE_EXTRA_CA_CERTS": TLS_CA},
            capture_output=True, text=True, timeout=120,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        heard = json.loads(run.stdout)
        self.assertEqual(heard["errors"], [])
        self.assertEqual(heard["types"][0], "session.created")
        self.assertEqual(heard["types"][-1], "session.closed")
        self.assertEqual(heard["text"], streamed_text())
        # What typed listeners are told has passed the client's checks; what only `event` is told has not.
        self.assertEqual(heard["typed"], len(heard["types"]))
