import pickle

from rtmri_speech.errors import UserError


def test_a_refusal_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UserError("clip.wav", "is empty", "record it again")))
    assert isinstance(error, UserError)
    assert str(error) == "clip.wav: is empty; record it again."
    assert (error.subject, error.fault, error.remedy) == ("clip.wav", "is empty", "record it again")
