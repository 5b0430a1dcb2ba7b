package config

import _ "embed" // the samples

// DaemonSample and MappingSample are the two shipped files, for the manual pages.
var (
	//go:embed presencebridge.yaml
	DaemonSample string
	//go:embed mapping.yaml
	MappingSample string
)
