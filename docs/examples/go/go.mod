module upper

go 1.24

require (
	github.com/hashicorp/yamux v0.1.2
	github.com/xtaci/smux v1.5.56
)
