// Package archtest holds the tests of the tree itself: who may import whom.
package archtest
