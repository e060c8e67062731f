// The image of every pod's sandbox (keles.dev/pause:3.10), as an archive that containerd imports.
// It is part of this program.
#pragma once

#include <string_view>

namespace keles::kind {

std::string_view pause_image();

}  // namespace keles::kind
