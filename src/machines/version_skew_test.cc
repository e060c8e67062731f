#include "machines/version_skew.h"

#include <gtest/gtest.h>

#include <utility>

namespace keles::machines {
namespace {

VersionOf of(std::string component, std::string version) {
  VersionOf out;
  out.component = std::move(component);
  out.name = "a";
  out.version = std::move(version);
  return out;
}

TEST(VersionSkew, IsUpstreams) {
  struct Row {
    const char *component, *version, *problem;
  };
  for (const Row& r : {
           Row{"kubelet", "v1.36.0", ""},
           {"kubelet", "v1.33.9", ""},
           {"kube-proxy", "v1.32.0",
            "older than the server by 4 minors: at most three are supported"},
           {"kubelet", "v1.37.0", "newer than the server by 1 minor: upgrade that first"},
           {"client", "v1.37.1", ""},
           {"client", "v1.35.0+x", ""},
           {"client", "v1.38.0", "2 minors from the server: at most one is supported"},
           {"kubelet", "v2.36.0", "of another major version than the server"},
           {"kubelet", "what", "no version that can be compared"},
           {"kubelet", "v1.36x", "no version that can be compared"},
       }) {
    EXPECT_EQ(skew_problem(of(r.component, r.version), "v1.36.2+keles"), r.problem) << r.version;
  }
}

TEST(VersionSkew, IsToldAsATable) {
  EXPECT_EQ(skew_table({of("server", "v1.36.2"), of("kubelet", "v1.37.0")}, "v1.36.2"),
            "COMPONENT   NAME   VERSION   SKEW\n"
            "server      a      v1.36.2   ok\n"
            "kubelet     a      v1.37.0   newer than the server by 1 minor: upgrade that first\n");
}

}  // namespace
}  // namespace keles::machines
