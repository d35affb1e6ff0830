module multistream-peer

go 1.24

require (
	github.com/hashicorp/yamux v0.1.2
	github.com/multiformats/go-multistream v0.6.1
)

require github.com/multiformats/go-varint v0.0.6 // indirect
