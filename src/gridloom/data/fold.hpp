// The fold of an event, as Gridloom computes it: see docs/reference/folds.md.
//
//     int fold = gridloom::fold(run, luminosity_block, event, k);
//
// Needs C++11 and no library. SPDX-License-Identifier: Apache-2.0
#ifndef GRIDLOOM_FOLD_HPP
#define GRIDLOOM_FOLD_HPP

#include <cstdint>

namespace gridloom {

// The finaliser of SplitMix64: a bijection of 64-bit words.
inline std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline std::uint64_t hash(std::uint64_t first, std::uint64_t second, std::uint64_t third) {
  const std::uint64_t increment = 0x9e3779b97f4a7c15ULL;
  std::uint64_t state = mix(first + increment);
  state = mix((state ^ second) + increment);
  return mix((state ^ third) + increment);
}

// The fold, 0 to k - 1: the event is scored by the model of this number.
inline int fold(std::uint64_t first, std::uint64_t second, std::uint64_t third, unsigned k) {
  return static_cast<int>(hash(first, second, third) % k);
}

}  // namespace gridloom

#endif
