import numpy
rng = numpy.random.default_rng(1)
for _ in range(9):
    a = rng.standard_normal((900, 900))
    b = numpy.linalg.solve(a, a @ a.T) + numpy.sin(a)
    print(numpy.linalg.svd(b[:300, :300])[1][0], numpy.sort(b, axis=None)[7], abs(numpy.fft.fft2(b)).max())
