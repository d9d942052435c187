// Package faults runs the real daemon as a process and takes from it what it needs: its
// life, its disk, its file descriptors, its memory, the patience of its clients. Whatever
// happens, no forgery is let in, nothing that was taken is lost, and nothing half written is
// left. It has tests alone.
package faults
