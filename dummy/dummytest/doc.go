// Package dummytest has a fake of package dummy, and the contract that the fake
// and the real thing must both pass.
package dummytest
