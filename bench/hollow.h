// The JSON bodies of hollow nodes (Node objects without an agent) named hollow-I, with room for 110
// pods, and of small pods named pod-I.
#pragma once

#include <string>

namespace keles::bench {

inline std::string hollow_node(long i) {
  std::string name = "hollow-" + std::to_string(i);
  std::string resources = "{\"cpu\":\"8\",\"memory\":\"32Gi\",\"pods\":\"110\"}";
  return "{\"metadata\":{\"name\":\"" + name + "\",\"labels\":{\"kubernetes.io/hostname\":\"" +
         name + "\"}},\"status\":{\"capacity\":" + resources + ",\"allocatable\":" + resources +
         ",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}";
}

inline std::string small_pod(long i) {
  return "{\"metadata\":{\"name\":\"pod-" + std::to_string(i) +
         "\",\"labels\":{\"app\":\"bench\"}},\"spec\":{\"containers\":[{\"name\":\"main\","
         "\"image\":\"example.com/app:v1\",\"resources\":{\"requests\":{\"cpu\":\"100m\","
         "\"memory\":\"64Mi\"}}}]}}";
}

}  // namespace keles::bench
