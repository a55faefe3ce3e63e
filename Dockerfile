# Gridloom with its locked libraries, for worker nodes that have neither: `docker build .`, or `gridloom image build`,
# which also makes a SIF file and a directory of it, adds an analysis' own packages, and tries the result.
#   --build-arg VARIANT=cuda     TensorFlow for NVIDIA GPUs
ARG BASE=debian:bookworm-20251229-slim

# --- the system: the same in all that follows ---------------------------------------------------------------------------
FROM ${BASE} AS system
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/* \
 && useradd --uid 1000 --no-log-init --create-home --shell /bin/bash gridloom \
 && mkdir /work && chown gridloom: /work

# --- the locked libraries -----------------------------------------------------------------------------------------------
FROM system AS tools
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/image-build.txt /requirements/
RUN python3 -m venv /build \
 && /build/bin/pip install --quiet --no-cache-dir --require-hashes -r /requirements/image-build.txt

FROM tools AS libraries
ARG VARIANT=cpu
COPY requirements/image-${VARIANT}.txt /requirements/
# Left out is what only serves to compile against the libraries or to test them: headers, sources, static libraries,
# libclang, the symbols that linkers read, tests.
# Bytecode is made here, for good: it could not be written later, and every start would compile all modules anew.
# All files get the same time: what is the same has the same digest, and what is added below is known by its own time.
RUN python3 -m venv --without-pip /opt/gridloom \
 && /build/bin/uv pip install --no-cache --link-mode copy --python /opt/gridloom/bin/python \
      --require-hashes -r /requirements/image-${VARIANT}.txt \
 && site=$(echo /opt/gridloom/lib/python3.*/site-packages) \
 && cd $site \
 && rm -rf clang numpy/_core/include tensorflow/include tensorflow/xla_aot_runtime_src tensorflow/compiler/mlir/stablehlo \
 && find . -name '*.a' -delete \
 && find . -type d \( -name tests -o -name test \) -not -path './tensorflow/*' -not -path './keras/*' -prune \
      -exec rm -rf {} + \
 && find tensorflow -name '*.so*' -type f -exec strip --strip-unneeded {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash $site \
 && find /opt/gridloom -exec touch --no-dereference --date=@0 {} + \
 && mkdir -p /layers/tensorflow$site \
 && mv tensorflow /layers/tensorflow$site/

# --- what an analysis adds ----------------------------------------------------------------------------------------------
FROM libraries AS packages
ARG VARIANT=cpu
COPY requirements/image-packages.txt /requirements/
# Never empty: docker without BuildKit would lose an empty layer.
RUN sed '/--hash=/d; s/ \\$//' /requirements/image-${VARIANT}.txt > /requirements/versions.txt \
 && /build/bin/uv pip install --no-cache --link-mode copy --python /opt/gridloom/bin/python \
      --constraint /requirements/versions.txt -r /requirements/image-packages.txt \
 && find /opt/gridloom -newermt @1 -name '*.py' \
  | python3 -m compileall -q --invalidation-mode unchecked-hash -i - \
 && mkdir -p /layers/packages/opt/gridloom \
 && cp /requirements/image-packages.txt /layers/packages/opt/gridloom/packages.txt \
 && find /opt/gridloom -newermt @1 -not -type d | tar -c -T - | tar -x -C /layers/packages \
 && find /opt/gridloom /layers/packages -newermt @1 -exec touch --no-dereference --date=@0 {} +

# --- Gridloom itself ----------------------------------------------------------------------------------------------------
FROM packages AS application
COPY . /source/
RUN cd /source && /build/bin/python -m hatchling build --target wheel --directory /wheel \
 && /build/bin/uv pip install --no-cache --link-mode copy --python /opt/gridloom/bin/python --no-deps /wheel/*.whl \
 && find /opt/gridloom -newermt @1 -name '*.py' \
  | python3 -m compileall -q --invalidation-mode unchecked-hash -i - \
 && mkdir /layers/application \
 && find /opt/gridloom -newermt @1 -not -type d | tar -c -T - | tar -x -C /layers/application \
 && find /layers/application -exec touch --no-dereference --date=@0 {} +

# --- the image: what changes most comes last ----------------------------------------------------------------------------
FROM system AS gridloom
COPY --from=libraries /layers/tensorflow /
COPY --from=libraries /opt/gridloom /opt/gridloom
COPY --from=packages /layers/packages /
COPY --from=application /layers/application /
ENV PATH=/opt/gridloom/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER gridloom
WORKDIR /work
CMD ["gridloom", "--help"]

ARG VARIANT=cpu
ARG VERSION=0.1.0
ARG SOURCE=unknown
ARG PACKAGES=none
ARG VERSIONS=locked
LABEL org.opencontainers.image.title="Gridloom" \
      org.opencontainers.image.description="Deep-learning models from ROOT ntuples: a worker with TensorFlow (${VARIANT})" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.gridloom.variant="${VARIANT}" \
      org.gridloom.source="${SOURCE}" \
      org.gridloom.packages="${PACKAGES}" \
      org.gridloom.versions="${VERSIONS}"
