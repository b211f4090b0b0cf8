# berth: what there is to do. `make` alone says it.
#
# Nothing has to be installed but Go, git, make and a C compiler (for the race detector): Go fetches the rest. The tests of what
# berth ships for databases need a PostgreSQL and a Redis, which `make databases` installs on Debian.

GO       ?= go
FUZZTIME ?= 10s
HOURS    ?= 1
SEED     ?= 0
CACHE    := .ci/cache
TIDY     := $(GO) mod tidy -diff
DRIVERS  := lookupclient/fence/drivers
# One package more at a time than there are processors: some wait for real time to pass. Those that take longest begin first.
ATONCE   := -p $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
LONGEST  := $(addprefix github.com/seed13d31b7f/berth/,jepsen-lite/runner lookupclient raftnode cmd/berth fsm)
ALL      = $(LONGEST) $(filter-out $(LONGEST),$(shell $(GO) list ./...))

.DEFAULT_GOAL := help
.PHONY: help build demo test testdrivers databases test386 race lint gen gencheck fuzz model sim bench bench10m churn overlap determinism jepsen soak faults mutants verify clean

help: ## say what there is to do
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/berth
	$(GO) build -trimpath -o bin/berth ./cmd/berth

demo: build ## run the main job: place real files, kill the leader, prove that nothing was lost
	./bin/berth demo

# Runs of fault tests that failed leave their folders in .ci/failed.
test: testdrivers ## run all tests: at most 10 minutes on 2 cores
	@rm -rf .ci/failed && mkdir -p .ci/failed
	$(GO) test -count=1 $(ATONCE) -artifacts -outputdir $(CURDIR)/.ci/failed $(ALL)
	@rm -rf .ci/failed

testdrivers: databases ## run the tests of fencing in real databases
	$(GO) -C $(DRIVERS) test -count=1 ./...

databases: ## install the databases that tests start: PostgreSQL and Redis
	@if command -v redis-server >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	test "$$(id -u)" = 0 || { echo "make databases: root can install redis-server and postgresql"; exit 1; }; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends redis-server postgresql

test386: ## run the tests of what replicas must agree on as 32-bit programs
	GOARCH=386 CGO_ENABLED=0 $(GO) test -count=1 ./placement ./snapshot ./fsm

# Packages that run whole clusters in virtual time. Under the race detector they get one processor: go1.26's synctest runs the
# timers of a bubble in one context of the detector, and does so on two processors at once, which ends the process now and then
# (SIGSEGV, or "CHECK failed: tsan_rtl.cpp"). The detector goes by what happens before what, and sees as much with one.
CLUSTERS := $(addprefix github.com/seed13d31b7f/berth/,lookupclient jepsen-lite/sim lookupclient/contract lookupclient/lookuptest raftnode raftnode/internal/group)

# Half of what they take is waiting for the disk, and to the detector all disks are alike. Where Linux has two gigabytes of memory
# as a directory, they get it. Programs may not be started from there everywhere, so go builds them elsewhere.
MEMORY = $(shell df -Pk /dev/shm 2>/dev/null | awk '$$6 == "/dev/shm" && $$4 > 2000000 { print $$6 }')

# In these there is nothing for the detector: the tests of the house rules, which see to it that the others, the pure core, begin no goroutine.
# What readers and the writer of the index share is read in one test while it is written.
ALONE := $(addprefix github.com/seed13d31b7f/berth/,cmd/internal/houserules fsm placement raftnode/lease snapshot)

# Left out under the detector, since they take long: they show it what other tests with the same code do, have one goroutine, or run
# programs that are built without it.
UNDETECTED := ^(TestContracts_CallsFail|TestRun_CorruptedHistory_NamedCheckersRefuse|TestList_FewAreWanted_EachCallIsBounded|\
TestList_CountMore_SaysHowMany|TestRing_IsBounded|TestWatch_NeverRead_TakesLittle|TestWatch_SlowReader_IsGivenASnapshot|\
TestReadLease_NobodyReads_NothingIsWritten|TestMember_MachinesOfAllServersVanish_KeepsItsIncarnation|TestClient_MachinesOfAllServersVanish_GoesOn|\
TestSession_TwentyElections_LivingOnesLast|TestRun_ServersAreReplaced_OthersTakeTheirPlace|TestRun_MembersAndIdentitiesAreBlocked_WatchersAreTold|\
TestOverlap_ClocksThatDoNotCountAStop_AreFound|TestGroup_Heal_WithoutTheGate_IsSlow|TestBerth_WithoutSync_IsFound|\
TestBerth_LeaderJumpsAhead_MembersJoinAgain|TestRun_MembersThatDoNotFence_AreFound|TestRun_ClocksBeyond_AreFound|TestRun_LocksUnfenced_AreFound|\
TestRun_StaleLookups_AreFound|TestRun_HostsJoinedByVethPairs_CutOff_Passes|TestRun_Clients_StoppedAndKilled_Passes)$$|\
^TestScripts$$/^(fault|demo|dev|restore|history|kind|rebalance|levels|plan|diff)$$

# A process under the race detector sleeps for a second when it ends, to hear of more, and tests start a thousand.
race: export GORACE := atexit_sleep_ms=10
race: ## run the tests with the race detector
	@scratch=$$(mktemp -d $(addsuffix /berth.XXXXXX,$(MEMORY))) || exit 1; trap 'rm -rf "$$scratch"' EXIT; trap 'exit 1' INT TERM; \
	export GOTMPDIR=$${TMPDIR:-/tmp} TMPDIR=$$scratch; set -x; \
	$(GO) test -count=1 $(ATONCE) -race -timeout 20m -cpu 1 -skip '$(subst $() $(),,$(UNDETECTED))' $(CLUSTERS)
	$(GO) test -count=1 $(ATONCE) -race -timeout 20m -skip '$(subst $() $(),,$(UNDETECTED))' $(filter-out $(CLUSTERS) $(ALONE),$(ALL))
	@$(GO) test -list '^TestView_ReadWhileItIsEdited$$' ./snapshot | grep -q ^TestView || { echo "the test of readers and the writer is gone"; exit 1; }
	$(GO) test -count=1 -race -run '^TestView_ReadWhileItIsEdited$$' ./snapshot

lint: $(CACHE)/staticcheck ## gofmt, vet, staticcheck, go.mod, and that the other systems build
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "gofmt would change: $$bad"; exit 1; }
	$(GO) vet ./...
	$(CACHE)/staticcheck ./...
	$(TIDY)
	$(GO) -C .ci/tools mod tidy -diff
	$(GO) -C .ci/tools vet ./...
	$(GO) -C $(DRIVERS) mod tidy -diff
	$(GO) -C $(DRIVERS) vet ./...
	cd $(DRIVERS) && $(CURDIR)/$(CACHE)/staticcheck ./...
	@! grep -nE '^(replace|exclude)\b' go.mod || { echo "go install refuses a go.mod with replace or exclude"; exit 1; }
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build $$($(GO) list ./lookupclient/... | grep -v /lookuptest) # which runs servers

$(CACHE)/staticcheck: .ci/tools/go.mod .ci/tools/go.sum
	$(GO) -C .ci/tools build -o ../cache/staticcheck honnef.co/go/tools/cmd/staticcheck

gen: ## generate what is generated, with pinned tools
	$(GO) -C .ci/tools run ./protogen

gencheck: ## check that generating changes nothing
	@before=$$(git status --porcelain; git diff | cksum); $(MAKE) --no-print-directory gen; \
	after=$$(git status --porcelain; git diff | cksum); \
	test "$$before" = "$$after" || { echo "make gen changed:"; git status --porcelain; exit 1; }

fuzz: ## run each fuzz target for FUZZTIME
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x $$package || exit 1; \
		done; \
	done

model: ## search all states of the lease protocol within the bounds of raftnode/lease/DESIGN.md: 20 minutes, 6 GB
	$(GO) test ./raftnode/lease -count=1 -v -timeout 4h -run TestModel_ -model

bench: ## run all benchmarks
	$(GO) test -run '^$$' -bench . -timeout 60m ./...

bench10m: ## benchmarks of the index with ten million identities, beside Go maps: 12 GB of memory, some 15 minutes
	$(GO) test ./snapshot -run '^$$' -bench 'Lookup|Update|Stall' -benchtime 100x -timeout 60m -identities 10000000
	$(GO) test ./snapshot -run '^$$' -bench 'Memory|Build|Encode|Decode' -benchtime 3x -timeout 60m -identities 10000000
	$(GO) test ./fsm -run '^$$' -bench 'Apply' -benchtime 300x -cpu 1 -timeout 60m -identities 10000000

determinism: ## run seeds of the simulation in several processes each, and compare what happened: a minute
	$(GO) test -count=1 -tags determinism -run OneTrace ./jepsen-lite/sim

sim: ## run SEEDS seeds from FIRST on, or such that were not run yet, of whole clusters in virtual time; of the MUTANT that is named
	$(GO) run ./jepsen-lite/cmd/sim -seeds $(or $(SEEDS),20) -first $(or $(FIRST),0) -drop "$(DROP)" -until $(or $(UNTIL),0) -mutant "$(MUTANT)"

churn: ## what 100 million updates of a million identities do to the memory of the process: some minutes
	$(GO) test ./snapshot -run '^$$' -bench Churn -benchtime 1x -timeout 60m -churn 100000000

overlap: ## stop and kill members' processes 1,000 times, and look for two that act on one identity: some 10 minutes
	$(GO) test -count=1 ./lookupclient -run TestOverlap_Stopped -v -timeout 60m -overlap.rounds 1000

jepsen: build ## break clusters of real processes in every way there is, and judge what was seen: about five minutes, root, Linux
	./bin/berth fault run --all --at-once 2 --duration 8s --seed $(SEED) --store .ci/faults

soak: build ## the same for HOURS hours, each time with another seed
	./bin/berth fault run --all --at-once 2 --duration 30s --seed $(SEED) --for $(HOURS)h --store .ci/faults

faults: ## break clusters for some minutes: SEEDS new ones, or 200, of the simulation, real processes, and real networks; root, Linux
	$(MAKE) --no-print-directory sim SEEDS=$(or $(SEEDS),200) UNTIL=20s
	$(GO) test -count=1 -v -run '^(TestRun_Processes_KilledAndStopped_Passes|TestRun_Hosts_CutOff_Passes)$$' ./jepsen-lite/runner

mutants: ## show that the fault tests find berths that are broken on purpose: some twenty-five minutes, root, Linux; or SAMPLE of them, or ONLY some
	$(GO) run ./jepsen-lite/cmd/mutants -store .ci/faults $(if $(SAMPLE)$(ONLY),-sample $(or $(SAMPLE),0) -only "$(ONLY)" -table jepsen-lite/README.md,-write jepsen-lite/README.md)

verify: test test386 race lint gencheck demo ## all that guards main, but the fuzzing

clean: ## remove what was built
	rm -rf bin $(CACHE) .ci/faults .ci/failed
