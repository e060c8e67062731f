// HTML of any kind through the proxy's link rewriter: the same however the input is cut; nothing is
// lost but what is replaced; done twice it is done once.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "seeds.h"
#include "server/http/proxy_links.h"

using keles::server::HtmlRewriter;
using keles::server::ProxyLinks;

static std::string rewritten(std::string_view data, size_t step) {
  HtmlRewriter html(ProxyLinks{"/p/proxy", "10.0.0.1:80", "host"});
  std::string out;
  while (!data.empty()) {
    out += html.feed(data.substr(0, step));
    data.remove_prefix(std::min(step, data.size()));
  }
  return out + html.finish();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  std::string_view data(reinterpret_cast<const char*>(bytes), std::min<size_t>(size, 8192));
  const std::string whole = rewritten(data, SIZE_MAX);
  if (whole != rewritten(data, 1)) std::abort();
  if (whole != rewritten(whole, SIZE_MAX)) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {
      "<a href=\"/x?a&amp;b\">t</a>",
      "<!-- <a href='/x'> --><img src=/i longdesc = '/l'>",
      "<script>'<a href=\"/x\">'</script><form action=//10.0.0.1:80/f>",
      "<a href='http://host/../x' /><link href=&#47;y><style>a{}</sTyLe >",
  };
}
