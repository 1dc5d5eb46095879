# Why it is built this way, with figures: CONTAINERIZATION.md

# ---- Build stage: has the compiler, and is thrown away ----
# The number that is pinned everywhere else, too; the binary contains the runtime of exactly this version.
FROM denoland/deno:debian-2.7.11 AS build
WORKDIR /build

# What changes seldom comes first: as long as these three files are the same, the layer below is taken from the cache, and a
# change to a route downloads nothing.
COPY deno.json import_map.json deno.lock ./

# A private certificate authority of the system is trusted, where there is one.
ENV DENO_TLS_CA_STORE=system,mozilla

# Two things have to be downloaded: the packages (--frozen: exactly those that deno.lock names, by digest), and the base runtime
# of `deno compile`, which is downloaded by compiling anything: here, nothing.
RUN deno install --quiet --lock=deno.lock --frozen \
 && touch /tmp/nothing.ts \
 && deno compile --quiet --no-config --output /tmp/nothing /tmp/nothing.ts \
 && rm /tmp/nothing /tmp/nothing.ts

# What is let in here is in .dockerignore.
COPY . .

# The flags of the compiler, with the reason for each, are in compile.ts. It prints the digest of the binary.
RUN deno task compile


# ---- Runtime stage: the base, and one file ----
# The binary needs the C library, which this brings, and nothing else; `distroless/cc` would do as well, without a shell.
FROM debian:bookworm-slim

# One file, owned by root and writable by nobody else: the service cannot change its own code.
COPY --from=build /build/dist/konnichiwa /usr/local/bin/konnichiwa

# A number, because Kubernetes' `runAsNonRoot` cannot check a name. It is in no /etc/passwd, and need not be: any other does too.
USER 65532:65532

# Documentation only; nothing is published without -p.
EXPOSE 4000

# The default, said anyway: the service finishes what was asked and exits with 0.
STOPSIGNAL SIGTERM

# By the binary itself: the image has no curl. A check costs 0.06 to 0.13 s of a processor, depending on the
# machine: one in 30 s is 0.2 to 0.43 % of one.
# The service listens 0.15 s after its start; the start period is for a machine that is very busy.
# No --start-interval: neither the classic builder nor engines before version 25 know it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=2 CMD ["/usr/local/bin/konnichiwa", "healthcheck"]

# The exec form: the service is PID 1 and gets the signals itself. Set HOST and PORT by variables (-e PORT=5000), not by flags:
# the health check sees only those.
ENTRYPOINT ["/usr/local/bin/konnichiwa"]

# Last, because they change with every commit.
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="konnichiwa" \
      org.opencontainers.image.description="Greets, says whether it is healthy, and shows the machine to whoever holds the key" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="debian:bookworm-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
