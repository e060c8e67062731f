// Records of pulled images and docker configurations: whatever a file holds is read or refused; a
// record is written back as itself.
#include <cstdint>
#include <cstdlib>

#include "node/images/keyring.h"
#include "node/images/pull_records.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles::node;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto record = parse_pulled_record(text);
  if (record.ok()) {
    auto again = parse_pulled_record(pulled_record_text(*record));
    if (!again.ok() || pulled_record_text(*again) != pulled_record_text(*record)) std::abort();
  }
  Keyring keys;
  keys.add(text, {});
  (void)keys.lookup("example.com:5000/a/b:1");
  (void)keys.lookup(text);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"kind":"ImagePulledRecord","imageRef":"sha256:1","lastUpdatedTime":
            "2024-01-01T00:00:00Z","credentialMapping":{"docker.io/library/a":{
            "nodePodsAccessible":true},"b.io/c":{"kubernetesSecrets":[{"uid":"u","namespace":"n",
            "name":"s","credentialHash":"h"}]}}})",
          R"({"auths":{"https://index.docker.io/v1/":{"auth":"YTpi"},"*.example.com:5000/a":{
            "username":"u","password":"p"},"[a-":{"auth":"!"}}})",
          R"({"registry.example.com":{"auth":"dTpw","email":"e"}})"};
}
