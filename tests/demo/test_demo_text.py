import numpy as np

from rtmri_speech.demo import gestures, text


def words():
    return [word for group in text.LEXICON.values() for word in group]


def test_every_phoneme_of_the_lexicon_has_a_duration_and_gestures():
    used = {phoneme for word in words() for phoneme in text.pronunciation(word)}
    assert used <= text.PHONEME_SECONDS.keys()
    assert text.PHONEME_SECONDS.keys() == gestures.VOWEL_TARGETS.keys() | gestures.CONSONANTS.keys()
    assert text.VOWEL_SECONDS.keys() == gestures.VOWEL_TARGETS.keys()


def test_a_word_belongs_to_one_class():
    assert len(words()) == len(set(words()))


def test_sentences_vary_and_use_the_whole_lexicon():
    sentences = {" ".join(text.sentence(np.random.default_rng(i))) for i in range(1500)}
    assert len(sentences) > 1400
    assert {word for sentence in sentences for word in sentence.split()} == {*words(), text.COMMA}


def test_tempo_shortens_phonemes_and_not_the_pauses_around_them():
    slow, fast = (text.segments(["anna", "sees", "tea"], np.random.default_rng(1), tempo) for tempo in (1.0, 2.0))
    assert " ".join(segment.phoneme for segment in slow).strip() == "E n a s i: z t i:"
    ratios = [b.seconds / a.seconds for a, b in zip(slow, fast, strict=True)]
    np.testing.assert_allclose(ratios, [1, *[0.5] * 8, 1])


def test_accents_fall_on_the_first_full_vowel():
    segments = text.segments(["the", "potato"], np.random.default_rng(1))
    assert [(segment.phoneme, i) for i, segment in enumerate(segments) if segment.accented] == [("e:", 6)]
