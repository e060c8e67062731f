// The answer of a conversion webhook. Whatever it says, the objects that are taken from it are
// those that were sent, but for what a conversion may change.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_json.h"
#include "seeds.h"
#include "server/conversion/review.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  static const std::vector<DocumentPtr> sent = [] {
    std::vector<DocumentPtr> out;
    for (std::string_view name : {"a", "b"}) {
      auto d = parse_json("{\"apiVersion\":\"e.com/v1\",\"kind\":\"T\",\"metadata\":{\"name\":\"" +
                          std::string(name) + "\",\"uid\":\"u\",\"generation\":3}}");
      out.push_back(std::make_shared<const Document>(std::move(*d)));
    }
    return out;
  }();
  const std::string_view answer(reinterpret_cast<const char*>(data), size);
  for (size_t n : {1, 2}) {
    for (std::string_view version : {"v1", "v1beta1"}) {
      conversion::Review review;
      review.version = version;
      review.uid = "id";
      review.desired = "e.com/v2";
      review.objects = std::span(sent).first(n);
      auto taken = conversion::converted_objects(review, answer);
      if (!taken.ok()) continue;
      if (taken->size() != n) std::abort();
      for (size_t i = 0; i < n; ++i) {
        const Value& o = (*taken)[i].root;
        const bool same = o["apiVersion"].as_string() == "e.com/v2" &&
                          o["kind"].as_string() == "T" &&
                          o["metadata"]["name"].equals(sent[i]->root["metadata"]["name"]) &&
                          o["metadata"]["generation"].as_int() == 3;
        if (!same) std::abort();
      }
    }
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":"id","result":{"status":"Success"},"convertedObjects":[{"apiVersion":"e.com/v2","kind":"T","metadata":{"name":"a","uid":"u","labels":{"x":"y"}}}]}})",
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":"id","result":{"status":"Success"},"convertedObjects":[{"apiVersion":"e.com/v2","kind":"T","metadata":{"name":"a","uid":"u"},"spec":1},{"apiVersion":"e.com/v2","kind":"T","metadata":{"name":"b","uid":"u","annotations":{"k":"v"}}}]}})",
      R"({"response":{"result":{"status":"Failure","message":"no"}}})",
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1beta1","response":{"result":{"status":"Success"},"convertedObjects":{}}})"};
}
