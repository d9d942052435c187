package address

// Bare is a path without the one pair of angle brackets that SMTP writes around it (RFC 5321
// §4.1.2).
func Bare(path string) string {
	if len(path) >= 2 && path[0] == '<' && path[len(path)-1] == '>' {
		return path[1 : len(path)-1]
	}
	return path
}
