// Command protogen compiles the project's .proto files and writes the Go code that is made from them. It needs
// nothing but the Go toolchain: the compiler is a library and the plugins are tools of this module, all pinned in its
// go.mod, so the same input gives the same bytes on every machine.
//
//	go -C .ci/tools run ./protogen
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	_ "google.golang.org/genproto/googleapis/api/annotations" // google/api/annotations.proto and http.proto, by registration
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const module = "github.com/seed13d31b7f/berth"

// job is one .proto file and what is made from it.
type job struct {
	file    string
	plugins []plugin
}

type plugin struct {
	tool, options string
	// When dir is set the files go there instead of beside the .proto file, in the package of that name.
	dir, pkg string
}

var (
	messages = plugin{tool: "protoc-gen-go", options: "module=" + module}
	services = plugin{tool: "protoc-gen-go-grpc", options: "module=" + module}
	gateway  = plugin{tool: "protoc-gen-grpc-gateway", options: "module=" + module + ",standalone=true", dir: "raftnode/internal/gateway", pkg: "gateway"}
)

var jobs = []job{
	{"snapshot/snapshotpb/snapshot.proto", []plugin{messages}},
	{"fsm/commandpb/command.proto", []plugin{messages}},
	{"raftnode/internal/peerv1/peer.proto", []plugin{messages, services}},
	{"lookupclient/apiv1/berth.proto", []plugin{messages, services, gateway}},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("protogen: ")
	root, err := filepath.Abs("../..")
	if err != nil {
		log.Fatal(err)
	}
	for _, j := range jobs {
		if _, err := os.Stat(filepath.Join(root, j.file)); os.IsNotExist(err) {
			continue
		}
		if err := j.run(root); err != nil {
			log.Fatalf("%s: %v", j.file, err)
		}
	}
}

func (j job) run(root string) error {
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{root}},
			protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
				d, err := protoregistry.GlobalFiles.FindFileByPath(path)
				return protocompile.SearchResult{Desc: d}, err
			}),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), j.file)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: []string{j.file}}
	addFile(request, files[0], map[string]bool{})
	for _, p := range j.plugins {
		if err := p.run(root, request); err != nil {
			return fmt.Errorf("%s: %w", p.tool, err)
		}
	}
	return nil
}

// addFile adds a file after all that it imports, each once.
func addFile(request *pluginpb.CodeGeneratorRequest, f protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		addFile(request, f.Imports().Get(i).FileDescriptor, seen)
	}
	var fd *descriptorpb.FileDescriptorProto
	if r, ok := f.(interface {
		FileDescriptorProto() *descriptorpb.FileDescriptorProto
	}); ok {
		fd = r.FileDescriptorProto()
	} else {
		fd = protodesc.ToFileDescriptorProto(f)
	}
	// Options that the parser left uninterpreted for us are known messages to the plugins: pass them through bytes.
	b, err := proto.Marshal(fd)
	if err != nil {
		log.Fatal(err)
	}
	fd = &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(b, fd); err != nil {
		log.Fatal(err)
	}
	request.ProtoFile = append(request.ProtoFile, fd)
}

func (p plugin) run(root string, request *pluginpb.CodeGeneratorRequest) error {
	request.Parameter = proto.String(p.options)
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "tool", p.tool)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", *response.Error)
	}
	for _, f := range response.File {
		if err := p.write(root, f.GetName(), f.GetContent()); err != nil {
			return err
		}
	}
	return nil
}

func (p plugin) write(root, name, content string) error {
	if p.dir != "" {
		name = filepath.Join(p.dir, filepath.Base(name))
		_, after, _ := strings.Cut(content, "\npackage ")
		before, _, _ := strings.Cut(content, "\npackage ")
		_, rest, _ := strings.Cut(after, "\n")
		content = before + "\npackage " + p.pkg + "\n" + rest
	}
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
