"""`simuleval` with its remote evaluation repaired.

In the releases 1.1.1, 1.1.2 and 1.1.4 `--remote-eval` stops with an AttributeError: the evaluator lacks the name by which
it is asked for its sentences. The attribute below is all that is missing. (1.1.0 stops at its first segment of speech.)
"""

from simuleval.cli import main
from simuleval.evaluator import SentenceLevelEvaluator

SentenceLevelEvaluator.instance_iterator = property(lambda evaluator: evaluator.iterator)

if __name__ == "__main__":
    main()
