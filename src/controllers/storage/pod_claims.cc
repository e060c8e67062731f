#include "controllers/storage/pod_claims.h"

#include "machinery/volumes/claim_rules.h"

namespace keles::controllers {

using api::core_v1::Pod;

namespace {

constexpr const char* kIndex = "pod-pvc-index";

}  // namespace

void index_pods_by_claim(const Informer<Pod>& pods) {
  pods.base().add_index(kIndex, [](const ObjectPtr& o) {
    const Ref<Pod> pod = read<Pod>(o);
    std::vector<std::string> out = volumes::claim_names(*pod);
    for (std::string& name : out) name.insert(0, std::string(o->namespace_()) + "/");
    return out;
  });
}

std::vector<Ref<Pod>> pods_of_claim(const Informer<Pod>& pods, std::string_view ns,
                                    std::string_view claim) {
  return pods.by_index(kIndex, std::string(ns) + "/" + std::string(claim));
}

}  // namespace keles::controllers
