// Package ipvstest holds an IPVS in memory and the contract that every
// [ipvs.Client] has to meet.
//
// [Fake] answers as Linux does, error by error; [TestClient] is the contract. The
// package's own tests hold the fake to real kernels: the contract runs on both,
// and random sequences of changes run on both in step.
//
// The fake does not know the host's addresses, so it takes every destination that
// ipvs.Destination.Validate lets through. A kernel refuses more (fs.ErrInvalid): a
// broadcast address of one of its networks, and everything in a namespace whose
// lo was never up.
package ipvstest
