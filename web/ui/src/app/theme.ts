import { createTheme } from '@mantine/core';
import type { MantineColorsTuple } from '@mantine/core';

const accent: MantineColorsTuple = [
  '#edf3fd', '#d9e4f8', '#b0c7ef', '#84a8e6', '#5f8dde', '#487cd9', '#3a71d6', '#2c60be', '#2455aa', '#164a97',
];

// Neutral greys with a breath of blue, dark enough for long reading at night.
const dark: MantineColorsTuple = [
  '#d3d7de', '#a9b0bb', '#868e9b', '#5d6572', '#3d444f', '#2d333d', '#222831', '#171b21', '#111419', '#0c0e12',
];

export const theme = createTheme({
  primaryColor: 'accent',
  primaryShade: { light: 7, dark: 5 },
  colors: { accent, dark },
  defaultRadius: 6,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Cantarell, "Helvetica Neue", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, "Cascadia Code", Consolas, "DejaVu Sans Mono", monospace',
  fontSizes: { xs: '12px', sm: '13px', md: '14px', lg: '16px', xl: '19px' },
  headings: { fontWeight: '600', sizes: { h1: { fontSize: '20px' }, h2: { fontSize: '16px' }, h3: { fontSize: '14px' } } },
  cursorType: 'pointer',
  focusRing: 'auto',
  components: {
    Button: { defaultProps: { size: 'xs' } },
    ActionIcon: { defaultProps: { variant: 'subtle', color: 'gray' } },
    TextInput: { defaultProps: { size: 'sm' } },
    Tooltip: { defaultProps: { openDelay: 300, withArrow: false } },
    Modal: { defaultProps: { centered: true, transitionProps: { duration: 100 } } },
  },
});
