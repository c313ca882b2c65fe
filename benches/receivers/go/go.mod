module receive

go 1.24

require dotsock v0.0.0

require github.com/ugorji/go/codec v1.3.2 // indirect

replace dotsock => ../../../bindings/go
