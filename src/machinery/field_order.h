// Where in a JSON text its members stand: strict decoding names what it found in that order.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace keles {

// The offsets at which each of `paths` ("spec.containers[0].name") occurs in `json`, which has been
// parsed before and is valid. Time: linear in the text, times the length of its paths.
std::unordered_map<std::string, std::vector<size_t>> field_offsets(
    std::string_view json, const std::vector<std::string>& paths);

}  // namespace keles
