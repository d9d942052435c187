// Package faults runs the real daemon as a process and takes away what it needs: its life, its
// disk, its file descriptors, its memory, its clients' patience. Whatever happens, no forgery
// is accepted, no accepted message is lost, and nothing is left half written. TestSoak and
// TestHangUp run all listeners in this process, for as long as you like. It contains only
// tests.
package faults
