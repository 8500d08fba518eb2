# Debian trixie from a tar made by mmdebstrap (dev/images), for machines that can pull no image.
FROM scratch
ADD base.tar /
CMD ["/bin/bash"]
