// What a component tells of itself: /statusz (KEP-4827: since when it runs, what it is, where to
// look further) and /flagz (KEP-4828: its flags, as they were set). As text, or as config.k8s.io
// Statusz and Flagz, in JSON or YAML, for who asks for that by Accept. Any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"

namespace keles {

struct AboutComponent {
  std::string name;         // "apiserver", "kubelet"
  std::string git_version;  // "v1.36.0+keles"
  WallTime started;
  std::vector<std::string> paths;            // for reading, sorted
  std::map<std::string, std::string> flags;  // by name; none: /flagz is not served
};

struct ZPage {
  int status = 200;  // 406 without a body
  std::string body, content_type;
  std::string warning;  // for who asked for a version that goes; "": none
};

// Nothing when the path is neither.
std::optional<ZPage> zpage(const AboutComponent& about, std::string_view path,
                           std::string_view accept);

}  // namespace keles
