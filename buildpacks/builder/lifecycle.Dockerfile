# What the trusted phases of a build run from: upstream's lifecycle and nothing else. `cargo xtask builder` makes it.
FROM scratch
COPY cnb/lifecycle /cnb/lifecycle
