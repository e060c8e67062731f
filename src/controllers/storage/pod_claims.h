// Pods by the claims that they use ("ns/name"): one index for all who ask.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "client/informer.h"

namespace keles::controllers {

void index_pods_by_claim(const Informer<api::core_v1::Pod>& pods);
std::vector<Ref<api::core_v1::Pod>> pods_of_claim(const Informer<api::core_v1::Pod>& pods,
                                                  std::string_view ns, std::string_view claim);

}  // namespace keles::controllers
