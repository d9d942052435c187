package proxy

// SlowData is the slow twin of readData, for the tests from outside.
var SlowData = slowData
