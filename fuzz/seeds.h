// A fuzz target gives its seeds here, for the replay that runs where libFuzzer is not linked.
#pragma once

#include <string_view>
#include <vector>

std::vector<std::string_view> fuzz_seeds();
