# make run    sets everything up, then translates the sample as a stream: words appear as they are committed
# make test   every check, the cheap ones first; each step is also a target of its own
# Both need a Rust toolchain, a C and a C++ compiler, and python3 with pip. Nothing is installed outside this folder.

SHELL := /bin/bash
BUNDLE ?= models/en-de-small
SAMPLE ?= $(BUNDLE)/sample.opus
K ?= 3

TARGET := $(or $(CARGO_TARGET_DIR),target)
PURE := --locked --no-default-features
# Everything is tested in one profile, so that libtorch's wrappers are compiled once.
STEPS := format lint-pure test-pure no-tch libtorch lint test-all train-tiny test-corpus docs

.PHONY: run test $(STEPS)

run: libtorch
	cargo build --locked --release
	$(TARGET)/release/decalage translate --bundle $(BUNDLE) --stream --k $(K) --realtime $(SAMPLE)

test:
	@begin=$$SECONDS; for step in $(STEPS); do \
		echo "== $$step"; start=$$SECONDS; \
		$(MAKE) --no-print-directory $$step || { echo "== $$step: FAILED after $$((SECONDS - start)) s"; exit 1; }; \
		echo "== $$step: passed in $$((SECONDS - start)) s"; echo; \
	done; echo "== all steps passed in $$((SECONDS - begin)) s"

format:
	cargo fmt --check

lint-pure:
	cargo clippy $(PURE) --all-targets -- -D warnings

test-pure:
	cargo test $(PURE)

# Without the feature `torch` nothing may pull libtorch in.
no-tch:
	cargo tree $(PURE) --edges normal --invert tch 2>&1 | grep --quiet "did not match any packages"

# Fetches libtorch into .libtorch/ once; LIBTORCH or LIBTORCH_USE_PYTORCH name another one.
libtorch:
	scripts/setup-libtorch

lint: libtorch
	cargo clippy --locked --all-targets -- -D warnings

test-all: libtorch
	cargo test --locked

train-tiny: libtorch
	scripts/train_tiny.sh

# The packages go into a folder of their own, as Debian has neither virtual environments nor a pip that installs.
test-corpus: $(TARGET)/corpus-python/.complete
	PYTHONPATH=$(<D) python3 -m unittest discover --start-directory scripts/corpus

$(TARGET)/corpus-python/.complete: scripts/corpus/requirements.txt
	rm -rf $(@D)
	pip="python3 -m pip"; $$pip --version > /dev/null 2>&1 || pip="pip3 --python $$(command -v python3)"; \
	$$pip install --quiet --target $(@D) --constraint $< numpy soundfile soxr tqdm
	touch $@

docs: libtorch
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
