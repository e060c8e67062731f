// Manifests of static pods: whatever a file or a URL holds is a pod of this node, or refused.
#include <cstdint>
#include <cstdlib>

#include "node/static_pods/static_pods.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (bool from_file : {true, false}) {
    auto pods = parse_static_pods(text, "source", from_file, "n1");
    for (size_t i = 0; pods.ok() && i < pods->size(); ++i) {
      const auto& pod = *(*pods)[i];
      if (!is_static(pod) || pod.spec().node_name() != "n1") std::abort();
      keles::Document mirror = mirror_of(pod, "n1", "u");
      if (!is_mirror(keles::api::core_v1::Pod(mirror.root))) std::abort();
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: c, "
      "image: i}\n",
      R"({"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"},"spec":{
            "containers":[{"name":"c","image":"i"}]}}]})",
      "kind: Pod\nmetadata: {name: a, annotations: 3}\nspec: [1]\n"};
}
