package grpc

// NewClient is what grpc-go has from 1.63 on: with it, the example compiles with the 1.33 of Debian 12.
func NewClient(target string, opts ...DialOption) (*ClientConn, error) {
	return Dial("dns:///"+target, opts...)
}
