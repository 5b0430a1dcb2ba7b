# The two commands of the README are `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE ?= $(if $(filter 0,$(shell id -u)),/var/cache/presencebridge,$(HOME)/.cache/presencebridge)
GOLANGCI := v2.15.0
NFPM := v2.45.2
GO ?= go

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./presencebridge
	CGO_ENABLED=0 $(GO) build -trimpath -o presencebridge ./cmd/presencebridge

demo: build ## show the bridge at work; PBX=host:5038 AMI_USER=… AMI_SECRET_FILE=… uses a real Asterisk
	@./presencebridge demo $(if $(PBX),--pbx $(PBX)) $(if $(AMI_USER),--ami-user $(AMI_USER)) \
		$(if $(AMI_SECRET_FILE),--ami-secret-file $(AMI_SECRET_FILE)) $(DEMO_FLAGS)

test: ## run everything, on a real Asterisk too (installs one where it may)
	@.ci/test "$(CACHE)"

soak: ## millions of simulated worlds: SEEDS=1000000 make soak
	PRESENCEBRIDGE_SOAK_SEEDS=$${SEEDS:-1000000} $(GO) test -run TestSimulation -timeout 0 -v ./pkg/presence

chaos: ## faults on a real Asterisk for FOR=10m, and KILLS=500 of the bridge; SEED=1 USERS=60 JSON=file
	@PRESENCEBRIDGE_TEST_CHAOS=$${FOR:-10m} PRESENCEBRIDGE_TEST_CHAOS_KILLS=$${KILLS:-500} PRESENCEBRIDGE_TEST_CHAOS_SEED=$${SEED:-1} \
		PRESENCEBRIDGE_TEST_CHAOS_USERS=$${USERS:-60} PRESENCEBRIDGE_TEST_CHAOS_JSON=$${JSON:+$$(realpath -m "$$JSON")} .ci/test "$(CACHE)" chaos

fuzz: ## every fuzz target for an hour: FUZZ_SECONDS=3600 make fuzz
	.ci/fuzz $${FUZZ_SECONDS:-3600}

bench: ## measure against floors and amigo, as in BENCHMARKS.md
	$(GO) test -run '^$$' -bench 'Ingest|Wire|Commit|Snapshot|Heap|Restart|Feed' -benchtime 3x -timeout 30m ./testdata/bench
	$(GO) test -run '^$$' -bench Stall -benchtime 1x -timeout 10m ./testdata/bench

bench-peers: ## measure beside other AMI clients and panels, into BENCHMARKS.md: RUNS=7 EVENTS=200000 BURST=100000 JSON=file
	@testdata/bench/peers/install "$(CACHE)/peers"
	BENCH_JSON=$${JSON:+$$(realpath -m "$$JSON")} BENCH_PEERS="$(CACHE)/peers" $(GO) test -run '^$$' -bench Peers -benchtime 1x -timeout 60m ./testdata/bench

bench-scale: ## run the program with ever more users, into BENCHMARKS.md: SIZES="1000 10000 100000 1000000" JSON=file
	BENCH_JSON=$${JSON:+$$(realpath -m "$$JSON")} $(GO) test -run '^$$' -bench Scale -benchtime 1x -timeout 90m ./testdata/bench

lint: ## gofmt, vet, golangci-lint, a tidy go.mod
	@test -z "$$(gofmt -l .)" || { echo "gofmt these files:"; gofmt -l .; exit 1; }
	$(GO) vet ./... ./testdata/bench/...
	$(GO) mod tidy -diff
	@$(GO) version -m "$(CACHE)/bin/golangci-lint" 2>/dev/null | grep -q "golangci-lint/v2.$(GOLANGCI)" || \
		{ echo "installing golangci-lint $(GOLANGCI)"; GOBIN="$(CACHE)/bin" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI); }
	"$(CACHE)/bin/golangci-lint" run ./... ./testdata/bench/...

# PREFIX is one that systemd searches: /usr/local or /usr. What is done only without
# DESTDIR, a package does when it is installed. A mapping that lies where earlier versions
# had it, beside presencebridge.yaml, stays there.
PREFIX ?= /usr/local
BINARY ?= presencebridge
NATIVE ?= $(abspath $(BINARY))# one of this machine's kind writes manual pages and completions
install: ## install what was built, as root; PREFIX=/usr/local DESTDIR=
	@test -x "$(BINARY)" || { echo "there is no $(BINARY): run make build first" >&2; exit 1; }
	install -D -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/presencebridge"
	install -D -m 644 systemd/presencebridge.service "$(DESTDIR)$(PREFIX)/lib/systemd/system/presencebridge.service"
	sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' "$(DESTDIR)$(PREFIX)/lib/systemd/system/presencebridge.service"
	install -D -m 644 systemd/presencebridge.sysusers "$(DESTDIR)$(PREFIX)/lib/sysusers.d/presencebridge.conf"
	install -D -m 644 systemd/presencebridge.tmpfiles "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/presencebridge.conf"
	"$(NATIVE)" man "$(DESTDIR)$(PREFIX)/share/man"
	install -d "$(DESTDIR)$(PREFIX)/share/bash-completion/completions" "$(DESTDIR)$(PREFIX)/share/zsh/site-functions" \
		"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d"
	"$(NATIVE)" completion bash >"$(DESTDIR)$(PREFIX)/share/bash-completion/completions/presencebridge"
	"$(NATIVE)" completion zsh >"$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_presencebridge"
	"$(NATIVE)" completion fish >"$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/presencebridge.fish"
	install -d -m 750 "$(DESTDIR)/etc/presencebridge" "$(DESTDIR)/etc/presencebridge/mapping"
	set -e -o pipefail; cd "$(DESTDIR)/etc/presencebridge"; \
	test -e presencebridge.yaml || { \
		test -e mapping.yaml || own='s|^mapping: mapping.yaml$$|mapping: mapping/mapping.yaml|'; \
		sed "$$own" "$(CURDIR)/config/presencebridge.yaml" | install -m 640 /dev/stdin presencebridge.yaml; \
	}; \
	test -e mapping.yaml || test -e mapping/mapping.yaml || install -m 640 "$(CURDIR)/config/mapping.yaml" mapping/mapping.yaml
	test -n "$(DESTDIR)" || { systemd-sysusers presencebridge.conf && systemd-tmpfiles --create presencebridge.conf; }
	test -n "$(DESTDIR)" || test ! -d /run/systemd/system || systemctl daemon-reload
	@echo 'Edit presencebridge.yaml and the mapping in /etc/presencebridge. Then, as root:'
	@echo '  install -m 600 /dev/stdin /etc/presencebridge/ami-secret   # paste the secret of the AMI account, Enter, Ctrl-D'
	@echo '  presencebridge check'
	@echo '  systemctl enable --now presencebridge'
	@echo '  presencebridge doctor'
	@echo 'The account, and what else Asterisk needs, is in README.md.'

DIST ?= dist
ARCHS ?= amd64 arm64
release: nfpm ## deb, rpm, tar.gz, SBOM and checksums of both architectures into dist/; SIGN_KEY=file RPM_KEY=file sign
	SIGN_KEY="$(SIGN_KEY)" RPM_KEY="$(RPM_KEY)" NFPM="$(CACHE)/bin/nfpm" GO="$(GO)" systemd/packaging/build "$(DIST)" $(ARCHS)

nfpm:
	@$(GO) version -m "$(CACHE)/bin/nfpm" 2>/dev/null | grep -q "nfpm/v2.$(NFPM)" || \
		{ echo "installing nfpm $(NFPM)"; GOBIN="$(CACHE)/bin" $(GO) install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM); }

clean: ## remove what was built (not the cached Asterisk in CACHE)
	rm -rf presencebridge coverage.out dist

.PHONY: help build demo test soak chaos fuzz bench bench-peers bench-scale lint install release nfpm clean
