//go:build !race

package main

// raceFlag builds the bridge under test as the tests themselves are built.
const raceFlag = "-race=false"
