# Shortcuts; everything works without make as well.
.PHONY: test ci bench release

test: ## the tests
	go test ./...

ci: ## everything that has to pass before a change goes in
	.ci/run

bench: ## what people would do otherwise beside unrole, and the cost of the engine
	go run ./bench/compare -svg docs/compare.svg
	go test -run '^$$' -bench Engine -benchtime 3000x ./internal/out/worker

release: ## archives, checksums and SBOMs into dist/
	go run ./deploy/release
