#include "zpages/zpages.h"

#include <gtest/gtest.h>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles {
namespace {

const AboutComponent kAbout{"kubelet",
                            "v1.36.0+keles",
                            WallTime{1'700'000'000'000'000'000},
                            {"/healthz", "/metrics"},
                            {{"v", "2"}, {"node-labels", "[a=\"b\"]"}}};

constexpr std::string_view kBody =
    "kubelet flagz\nWarning: This endpoint is not meant to be machine parseable, has no formatting "
    "compatibility guarantees and is for debugging purposes only.\nnode-labels=[a=\"b\"]\nv=2\n";

TEST(ZPages, AreTextUnlessSomethingElseIsAskedFor) {
  for (const char* accept : {"", " ", "*/*", "text/plain", "text/html, */*;q=0.1"}) {
    const auto page = zpage(kAbout, "/flagz", accept);
    ASSERT_TRUE(page && page->status == 200) << accept;
    EXPECT_EQ(page->body, "\n" + std::string(kBody));
    EXPECT_EQ(page->content_type, "text/plain; charset=utf-8");
  }
  const std::string status = zpage(kAbout, "/statusz", "")->body;
  EXPECT_NE(status.find("kubelet statusz\n"), status.npos);
  EXPECT_NE(status.find("\nStarted: Tue Nov 14 22:13:20 UTC 2023\n"), status.npos) << status;
  EXPECT_NE(status.find("\nBinary version: 1.36.0\n"), status.npos);
  EXPECT_NE(status.find("\nPaths: /healthz /metrics\n"), status.npos);
}

TEST(ZPages, HaveAFormForMachines) {
  const auto json = zpage(kAbout, "/flagz", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz");
  ASSERT_EQ(json->status, 200);
  EXPECT_EQ(json->body,
            R"({"kind":"Flagz","apiVersion":"config.k8s.io/v1beta1","metadata":{"name":"kubelet"},)"
            R"("flags":{"node-labels":"[a=\"b\"]","v":"2"}})"
            "\n");
  EXPECT_EQ(json->warning, "");
  const auto yaml =
      zpage(kAbout, "/statusz", "application/yaml;v=v1alpha1;g=config.k8s.io;as=Statusz");
  ASSERT_EQ(yaml->status, 200);
  EXPECT_EQ(parse_yaml(yaml->body)->root["startTime"].as_string(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(yaml->content_type, "application/yaml");
  EXPECT_EQ(yaml->warning,
            "This version of the statusz endpoint is deprecated. Please use a newer version.");
}

TEST(ZPages, WhatIsNotServed) {
  for (const char* accept :
       {"application/json", "application/xml", "application/json;v=v2;g=config.k8s.io;as=Flagz",
        "application/json;v=v1beta1;g=config.k8s.io;as=Statusz"}) {
    EXPECT_EQ(zpage(kAbout, "/flagz", accept)->status, 406) << accept;
  }
  EXPECT_FALSE(zpage(kAbout, "/configz", ""));
  AboutComponent silent = kAbout;
  silent.flags.clear();
  EXPECT_FALSE(zpage(silent, "/flagz", ""));
}

}  // namespace
}  // namespace keles
