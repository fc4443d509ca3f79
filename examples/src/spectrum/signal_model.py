"""What is simulated, in one place: three tones in white noise."""

SAMPLES = 4096  # a power of two, as the FFT wants
RATE = 512.0  # samples per second, Hz
NOISE = 1.0  # standard deviation of the noise, in units of the amplitude
TONES = [  # frequency in Hz, amplitude
    (32.5, 0.60),
    (71.0, 1.00),
    (140.25, 0.35),
]
SEED = 20240229
