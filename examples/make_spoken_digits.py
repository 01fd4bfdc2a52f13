"""Make `crossmodal_fast/demo/spoken_digits.npz`: the ten digits, spoken in two languages by twenty voices.

    python examples/make_spoken_digits.py [output.npz]

espeak-ng (Debian package `espeak-ng`, version 1.51 for the committed file) speaks; `crossmodal_fast.preprocess` turns
the sound into log-mel spectrograms. Every voice says every digit three times in each language, in three accents where
English has them, at a speed and a pitch of its own: 20 voices x 2 languages x 3 takes x 10 digits = 1200 utterances.
Nothing is random, so the same espeak-ng makes the same bytes again.

The sound is made here by a synthesiser from words that we chose; no recording of anybody and no third party's data is
in it, and the licence of espeak-ng (GPL) covers the program, not what it says. The features are ours, under the
licence of this project.

    one utterance   trimmed where it is 40 dB below its loudest frame, 23 ms Hann windows every 5 ms, power spectrum,
                    32 triangular mel filters (mel = 2595 log10(1 + f / 700)) from 60 to 8000 Hz, decibels below the
                    loudest cell, stretched or squeezed to 40 frames, so that the speed shows in the articulation alone
    the file        log_mel (1200, 32, 40) uint8, 0 = -60 dB or less, 255 = 0 dB, low frequencies first;
                    label (1200,) int64; language, voice (1200,) text; speed (words per minute), pitch (0..99) int64
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from crossmodal_fast.preprocess import mel_filters, mel_power, stretched

WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
}
ACCENTS = {"en": ["en-us", "en-gb", "en-gb-scotland"], "de": ["de", "de", "de"]}  # one a take
VARIANTS = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5",
    "Annie", "linda", "steph", "Denis", "paul", "victor", "whisper",
]  # fmt: skip
TAKES = 3
SPEEDS = 110, 220  # words per minute; espeak-ng speaks 175 where nothing is said
PITCHES = 20, 80  # espeak-ng's scale 0..99

SAMPLE_RATE = 22050  # Hz, what espeak-ng writes
WINDOW = 512  # samples, 23 ms: two periods of a low voice
HOP = 110  # samples, 5 ms: a short plosive still has frames of its own
FFT = 1024  # the window zero-padded, so that the lowest filters (60 Hz wide) hold more than one bin
MELS = 32
LOWEST, HIGHEST = 60.0, 8000.0  # Hz
FRAMES = 40
TRIM = 40.0  # dB below the loudest frame counts as silence
RANGE = 60.0  # dB below the loudest cell that are kept


def spread(position, low, high):
    """Numbers in low..high that fill it evenly whatever the count: steps of the golden ratio, taken modulo one."""
    return round(low + (high - low) * (position * 0.6180339887498949 % 1.0))


def utterances():
    """One dictionary per utterance, all ten digits of a voice, language and take together."""
    session = 0
    for variant in VARIANTS:
        for language, words in WORDS.items():
            for take in range(TAKES):
                session += 1
                speed, pitch = spread(session, *SPEEDS), spread(session * 7, *PITCHES)
                for label, word in enumerate(words):
                    yield {
                        "label": label,
                        "word": word,
                        "language": language,
                        "accent": ACCENTS[language][take],
                        "variant": variant,
                        "speed": speed,
                        "pitch": pitch,
                    }


def speak(utterance):
    """The sound of one utterance, float64 in -1..1."""
    command = ["espeak-ng", "-v", f"{utterance['accent']}+{utterance['variant']}", "-s", str(utterance["speed"])]
    command += ["-p", str(utterance["pitch"]), "--stdout", utterance["word"]]
    wave = subprocess.run(command, check=True, capture_output=True).stdout
    # written to a pipe, the header carries no true length: the samples run from byte 44 to the end
    return np.frombuffer(wave[44:], dtype="<i2") / 32768.0


def log_mel(sound):
    """(MELS, FRAMES) uint8 of one sound."""
    filters = mel_filters(SAMPLE_RATE, FFT, mels=MELS, low=LOWEST, high=HIGHEST)
    power = mel_power(np.pad(sound, WINDOW), filters, window=WINDOW, hop=HOP)
    loudness = power.sum(axis=1)
    spoken = np.flatnonzero(loudness > loudness.max() * 10.0 ** (-TRIM / 10.0))
    power = power[spoken[0] : spoken[-1] + 1]
    decibel = 10.0 * np.log10(np.maximum(power / power.max(), 10.0 ** (-RANGE / 10.0)))
    return np.rint((stretched(decibel, FRAMES).T + RANGE) * (255.0 / RANGE)).astype(np.uint8)


def make(output):
    """Speak everything and write the file."""
    spoken = list(utterances())
    np.savez_compressed(
        output,
        log_mel=np.stack([log_mel(speak(utterance)) for utterance in spoken]),
        label=np.array([utterance["label"] for utterance in spoken], dtype=np.int64),
        language=np.array([utterance["language"] for utterance in spoken]),
        voice=np.array([f"{utterance['accent']}+{utterance['variant']}" for utterance in spoken]),
        speed=np.array([utterance["speed"] for utterance in spoken], dtype=np.int64),
        pitch=np.array([utterance["pitch"] for utterance in spoken], dtype=np.int64),
    )


if __name__ == "__main__":
    if shutil.which("espeak-ng") is None:
        sys.exit("make_spoken_digits needs espeak-ng, which is not installed: apt-get install espeak-ng")
    here = Path(__file__).resolve().parents[1] / "crossmodal_fast" / "demo" / "spoken_digits.npz"
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else here)
