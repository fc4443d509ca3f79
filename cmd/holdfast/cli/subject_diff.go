package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// changedLines shows the differences between two versions of a plan, step by step and file by file.
func changedLines(style terminal.Style, before, after *schema.Plan) []string {
	var lines []string
	section := func(name string, was, is []string) {
		if slices.Equal(was, is) {
			return
		}
		lines = append(lines, "      "+visible(name))
		for _, l := range diff(was, is) {
			text := "        " + string(l.sign) + " " + visible(l.text)
			switch l.sign {
			case '+':
				text = style.Green(text)
			case '-':
				text = style.Red(text)
			}
			lines = append(lines, text)
		}
	}
	fields := func(p *schema.Plan, id string) []string {
		step, ok := p.Step(id)
		if !ok {
			return nil
		}
		lines := []string{"title: " + step.Name()}
		for _, f := range append(stepFields(step, false), saidAsks(step)...) {
			lines = append(lines, strings.Split(f.name+": "+f.text, "\n")...)
		}
		return lines
	}
	for i := range after.Steps {
		section("step "+after.Steps[i].ID, fields(before, after.Steps[i].ID), fields(after, after.Steps[i].ID))
	}
	for i := range before.Steps {
		if _, kept := after.Step(before.Steps[i].ID); !kept {
			section("step "+before.Steps[i].ID, fields(before, before.Steps[i].ID), nil)
		}
	}
	paths := slices.Sorted(maps.Keys(after.Files))
	for _, path := range slices.Sorted(maps.Keys(before.Files)) {
		if _, kept := after.Files[path]; !kept {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		section(path, fileLines(before.Files[path]), fileLines(after.Files[path]))
	}
	return lines
}

type diffLine struct {
	sign rune // +, - or a space
	text string
}

// maxDiffCells bounds a diff's table; a larger change is shown as a replacement.
const maxDiffCells = 4_000_000

// diff is the shortest edit between two texts, without their common beginning and end.
func diff(was, is []string) []diffLine {
	for len(was) > 0 && len(is) > 0 && was[0] == is[0] {
		was, is = was[1:], is[1:]
	}
	for len(was) > 0 && len(is) > 0 && was[len(was)-1] == is[len(is)-1] {
		was, is = was[:len(was)-1], is[:len(is)-1]
	}
	var lines []diffLine
	if (len(was)+1)*(len(is)+1) > maxDiffCells {
		for _, l := range was {
			lines = append(lines, diffLine{'-', l})
		}
		for _, l := range is {
			lines = append(lines, diffLine{'+', l})
		}
		return lines
	}
	width := len(is) + 1
	common := make([]int32, (len(was)+1)*width) // the longest common subsequence of the rest
	for i := range slices.Backward(was) {
		for j := range slices.Backward(is) {
			if was[i] == is[j] {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(was) || j < len(is) {
		switch {
		case i < len(was) && j < len(is) && was[i] == is[j]:
			lines = append(lines, diffLine{' ', was[i]})
			i, j = i+1, j+1
		case j == len(is) || i < len(was) && common[(i+1)*width+j] >= common[i*width+j+1]:
			lines = append(lines, diffLine{'-', was[i]})
			i++
		default:
			lines = append(lines, diffLine{'+', is[j]})
			j++
		}
	}
	return lines
}
