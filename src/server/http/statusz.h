// /statusz (KEP-4827): when the server started, what it is, where to look further. As text, or as
// config.k8s.io Statusz for who asks for that. Any thread.
#pragma once

#include <string>

#include "base/loop.h"
#include "server/http/front.h"

namespace keles::server {

// `component`: "kube-apiserver".
PathSource statusz_source(std::string component, std::string git_version, WallTime started);

}  // namespace keles::server
