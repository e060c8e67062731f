// Encrypted values: none is opened that was not sealed so, unless nothing is authenticated; and
// what is sealed opens to itself.
#include <cstdint>
#include <cstdlib>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "seeds.h"
#include "store/encryption/ciphers.h"
#include "store/encryption/encryption.h"

namespace {

using namespace keles;

constexpr const char* kRules =
    "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
    "- resources: [secrets]\n  providers:\n"
    "  - aesgcm: {keys: [{name: a, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}\n"
    "  - aescbc: {keys: [{name: b, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}\n"
    "  - secretbox: {keys: [{name: c, secret: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=}]}\n"
    "  - kms: {apiVersion: v2, name: k, endpoint: 'unix:///nonexistent', timeout: 1ms}\n"
    "  - identity: {}\n";

Encryption& sealing() {
  static const std::shared_ptr<Encryption> one = [] {
    const TemporaryDirectory dir = *TemporaryDirectory::make();
    Encryption::Options o;
    o.file = dir.path() + "/rules";
    if (!write_file(o.file, kRules).ok()) std::abort();
    auto made = Encryption::from_file(o);
    if (!made.ok()) std::abort();
    return *made;
  }();
  return *one;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const char* key = "/registry/secrets/a/b";
  auto opened = sealing().open(key, std::make_shared<const std::string>(text));
  if (opened.ok() && !text.starts_with(kSealedPrefix) && *opened->plain != text) std::abort();
  if (opened.ok() && text.starts_with("k8s:enc:aesgcm:")) std::abort();  // a nonce never made
  auto sealed = sealing().seal(key, std::make_shared<const std::string>(text));
  if (!sealed.ok() || !sealed->bytes->starts_with("k8s:enc:aesgcm:v1:a:")) std::abort();
  auto again = sealing().open(key, sealed->bytes);
  if (!again.ok() || *again->plain != text) std::abort();
  const std::string secret(32, 'k');
  auto box =
      keles::encryption::secretbox_open(secret, keles::encryption::secretbox_seal(secret, text));
  if (!box.ok() || *box != text) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"k8s:enc:aescbc:v1:b:0123456789abcdef0123456789abcdef",
          "k8s:enc:aesgcm:v1:a:0123456789ab0123456789abcdef0123456789abcdef",
          "k8s:enc:secretbox:v1:c:0123456789abcdef01234567rest of it, longer than a tag",
          "k8s:enc:kms:v2:k:\x0a\x03"
          "abc\x12\x02id\x1a\x03"
          "dek\x22\x08\x0a\x03"
          "a.b\x12\x01v(\x01",
          "k8s:enc:nobody:v1:x:y",
          "plain"};
}
