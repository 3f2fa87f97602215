"""Sentences as others would have said them: another name, another number, a hesitation.

A quarter of Tatoeba's sentences are about Tom, and most of its numbers are three: who hears those alone guesses them ever
after. Invariant: English and German change together, or not at all; a changed sentence means what its translation means.
"""

import re
from dataclasses import replace

import numpy as np
from faker.providers.person.en_US import Provider as English
from num2words import num2words

import texts

# English name -> how German sentences may have it. Pronouns stay, so a name is swapped for one of its kind.
FREQUENT = {"Tom": ("Tom",), "John": ("John",), "Mary": ("Maria", "Mary"), "Boston": ("Boston",)}
# Their genitive has an s in both languages; after these letters German writes an apostrophe.
HISSES = ("s", "x", "z", "ß", "ce")


def first_names(names) -> list[str]:
    return sorted(name for name in names if name.isascii() and not name.endswith(HISSES))


MALE, FEMALE = first_names(English.first_names_male), first_names(English.first_names_female)
CITIES = ("Amsterdam Atlanta Bangkok Berlin Chicago Dallas Denver Dublin Hamburg Houston Istanbul London Madrid Manchester"
          " Miami Montreal Nairobi Oslo Oxford Sydney Toronto Vancouver").split()
KINDS = {"Tom": MALE, "John": MALE, "Mary": FEMALE, "Boston": CITIES}
# Hours go no further, and behind these a number is one.
HOURS = re.compile(r"o'clock|Uhr\b|\b[ap]\.?m\b", re.IGNORECASE)
NUMBERS = {num2words(n): (n, num2words(n, lang="de")) for n in range(2, 100)}
NUMBER = re.compile(r"\b(" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + r")\b(?![- ](?:hundred|thousand|million))")
FILLERS = ("um", "uh", "er", "well", "you know")


def word(name: str) -> re.Pattern:
    return re.compile(rf"\b{name}(?=s?\b)")


def swap_names(sentence: texts.Sentence, draw: np.random.Generator) -> texts.Sentence:
    """Gives each frequent name another one. German versions that have it in another form are left out."""
    for name, forms in FREQUENT.items():
        if not re.search(rf"\b{name}\b", sentence.english):
            continue
        pattern = word("(?:" + "|".join(forms) + ")")
        kept = [version for version in sentence.german if pattern.search(version)]
        if kept:
            other = str(draw.choice(KINDS[name]))
            english = re.sub(rf"\b{name}\b", other, sentence.english)
            sentence = replace(sentence, english=english, german=tuple(pattern.sub(other, version) for version in kept))
    return sentence


def swap_number(sentence: texts.Sentence, draw: np.random.Generator) -> texts.Sentence:
    """Gives a sentence's only number, a word from two to ninety-nine, another value, where German has the same word."""
    found = NUMBER.findall(sentence.english)
    if len(found) != 1 or len(NUMBER.findall(sentence.english.lower())) != 1:
        return sentence
    german = re.compile(rf"\b{NUMBERS[found[0]][1]}\b")
    kept = [version for version in sentence.german if len(german.findall(version)) == 1]
    if not kept:
        return sentence
    is_hour = HOURS.search(" ".join([sentence.english, *kept]))
    value = int(draw.integers(2, 13 if is_hour else 100))
    english = sentence.english.replace(found[0], num2words(value), 1)
    return replace(sentence, english=english, german=tuple(german.sub(num2words(value, lang="de"), v) for v in kept))


def hesitate(sentence: texts.Sentence, draw: np.random.Generator) -> texts.Sentence:
    """Says the first words twice, or a filler somewhere; the German stays fluent."""
    words = sentence.english.split()
    if len(words) < 4:
        return sentence
    place = int(draw.integers(1, min(4, len(words) - 1)))
    if draw.random() < 0.5:
        begun = [w.strip(",;:") for w in words[:place]]
        words = [*begun[:-1], begun[-1] + ",", *words]
    else:
        filler = str(draw.choice(FILLERS))
        words = [*words[:place], filler + ",", *words[place:]]
        words[place - 1] = words[place - 1].rstrip(",;:") + ","
    return replace(sentence, english=" ".join(words))


def vary(sentence: texts.Sentence, draw: np.random.Generator, swaps: float, hesitations: float) -> texts.Sentence:
    """Each with its probability."""
    if draw.random() < swaps:
        sentence = swap_number(swap_names(sentence, draw), draw)
    return hesitate(sentence, draw) if draw.random() < hesitations else sentence
