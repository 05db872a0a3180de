# Short names; everything is done by the scripts and the presets (CMakePresets.json).
.PHONY: all test demo asan tsan release clients format tidy

all: release

release:
	./scripts/build release rutile

test:
	./scripts/test

demo:
	./scripts/demo

asan tsan:
	./scripts/test $@

clients: release
	./tests/clients/run

format:
	./scripts/format

tidy:
	python3 tools/tidy.py
	./scripts/tidy
